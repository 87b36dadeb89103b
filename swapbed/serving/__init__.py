"""The processes of an installation, started on demand: Prefect server, controller, S3 store; and asking the controller for a flow."""
