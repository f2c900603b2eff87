// Package paths is only tests: real proxies in network namespaces, with a router between them that passes packets up to a size and
// says nothing about larger ones, and with names whose addresses change. What real kernels do there cannot be seen on one host's
// loopback device.
package paths
