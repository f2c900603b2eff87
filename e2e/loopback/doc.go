// Package loopback runs clusters of Eastway in file mode on this computer's loopback addresses: each proxy is a process. It does
// what an operator does there: certificates, peers, and a directory of manifests for each proxy.
package loopback
