"""The REST API: queues, tasks and promises for programs in any language."""
