// Package translate says in the catalog's words what single Kubernetes objects say, and what is wrong with them. It is what
// the catalog's sources have in common; how objects are come by, and which of two that want the same wins, is theirs.
package translate
