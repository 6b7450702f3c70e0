"""What JupyterHub takes from us and shows: API, reports, pages, and all words on them."""
