// Package entry is `eastway entry`: it wires the reader of manifests, the routes and the server below it, and prints what
// `eastway entry status` shows.
package entry
