"""The life of a WorkflowTemplate: its checks, its schedules, and the runs that it keeps."""
