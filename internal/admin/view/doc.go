// Package view prints what a proxy reports as tables.
package view

// Source is the proxy that has answered.
type Source struct {
	// Pod and Node name it; empty for a proxy on this machine.
	Pod, Node string
	// Others says that there are more proxies, each with a view of its own; empty if there are not.
	Others string
}
