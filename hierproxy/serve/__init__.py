"""The service of a gallery: `hierproxy serve`, and `hierproxy.serve.app.create_app`."""
