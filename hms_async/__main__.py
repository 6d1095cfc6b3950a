"""`python -m hms_async`, for where no console script is on the path."""

from hms_async.cli.main import main

if __name__ == "__main__":
    main()
