// Package httpserve serves HTTP to kubelets, scrapers, operators and node agents, within bounds that no client can exceed, until its
// context ends. It does not know what is served.
package httpserve
