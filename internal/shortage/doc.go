// Package shortage names what a host or process is short of when a socket cannot be made, connected or accepted, with what to do about
// it. It judges no endpoint.
package shortage
