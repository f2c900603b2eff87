// Package apply writes Kubernetes objects with server-side apply: the controller
// owns the fields that it sets, and those that others add stay. It counts every
// write, because writes are what loads an API server; callers compare first.
package apply
