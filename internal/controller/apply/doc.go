// Package apply writes Kubernetes objects with server-side apply: what the
// controller says of an object is the controller's, and what others add to it
// stays. It counts every write, because writes are what an API server suffers
// from; the caller has compared before.
package apply
