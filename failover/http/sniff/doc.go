// Package sniff finds out what a connection carries from its first bytes: a client's
// protocol, and whether an HTTP/2 server has sent its SETTINGS.
package sniff
