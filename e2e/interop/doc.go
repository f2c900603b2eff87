// Package interop is only tests: HTTP through two clusters, each a proxy process in file mode on loopback, spoken by the programs
// that others use: the interop client and server of gRPC, curl, h2load, WebSocket, and nginx and haproxy before and behind Eastway;
// and PostgreSQL, whose server does not run as root, so that root runs it as the user postgres. It needs no root.
package interop
