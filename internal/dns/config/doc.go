// Package config reads the manifests of the DNS, DNSZone and GlobalName, from a directory: strictly, with the place of each error, and with
// the last good object for one that cannot be used. It never serves, probes or resolves a name.
package config
