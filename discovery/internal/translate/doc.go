// Package translate converts single Kubernetes objects to the types of the catalog, and checks them. It is what the catalog's
// sources have in common; how objects are read, and which of two conflicting ones wins, is up to each source.
package translate
