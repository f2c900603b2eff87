// Package httpserve serves HTTP to kubelets, scrapers and operators, within bounds that no client can exceed, until its
// context ends. It does not know what is served.
package httpserve
