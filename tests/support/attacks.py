"""Attacks that several tests try: the texts of their rows in docs/threats.md."""

FORGED_ROW = {
    "who": "user",
    "tries": "They write text into their job that looks like a job in the scheduler's list.",
    "stopped_by": "What such a list says about a job's host, its end or a move counts only when "
    "the answer to a question about that job alone confirms it.",
}
CLAIMED_HOST = {
    "who": "user",
    "tries": "Their agent says that their job is hidden from the Hub and runs on another node.",
    "stopped_by": "Where the scheduler does not say that it hides jobs, a report counts only if it "
    "comes from that node; elsewhere the host must be one of the cluster's nodes.",
}
HEAVY_LIST = {
    "who": "other user",
    "tries": "They submit tens of thousands of jobs, so that the Hub is busy with reading lists.",
    "stopped_by": "The work of every reader grows with the number of rows and not faster; large "
    "answers are read by another process.",
}
LISTED_SECRET = {
    "who": "other user",
    "tries": "They read every listing of the scheduler, all processes, and the files of nodes and "
    "homes to find a token.",
    "stopped_by": "Listings, process lists, spool files and logs hold no secret: the environment "
    "is in a file of mode 0600 in folders of mode 0700.",
}
SLOW_PATTERN = {
    "who": "user",
    "tries": "They send a text for which an administrator's pattern takes exponential time.",
    "stopped_by": "Such patterns in host_map and in profiles are tried and refused beforehand, and "
    "the texts have at most 255 characters.",
}
