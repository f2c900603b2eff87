// Package httpserve serves HTTP to kubelets, scrapers and operators, within bounds that no client can exceed, until its
// context ends. What is answered is its users' own business.
package httpserve
