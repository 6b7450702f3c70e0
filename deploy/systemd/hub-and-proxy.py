# What jupyterhub_config.py needs for these services: jupyterhub-proxy.service is the proxy.
c = get_config()  # noqa: F821 (JupyterHub's own)

c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:8001"  # the token is in the environment
c.JupyterHub.cleanup_servers = False  # servers outlive a stop of the Hub
