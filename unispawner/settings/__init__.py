"""What an administrator sets, as traits, and how it becomes the description of a job.

=============  ==================================================================================
``scheduler``  SchedulerSettings: which scheduler, its commands, and the settings of its own
``job``        JobSettings: the job, its account and its server; ``job_spec`` makes a JobSpec
``names``      NameSettings: the job's name, its folder, its log, the private files
``detect``     which scheduler ``scheduler = "auto"`` means, and whether it answers
=============  ==================================================================================
"""
