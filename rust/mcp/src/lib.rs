//! The Model Context Protocol: envelopes, versions, transports, client, compliance.
