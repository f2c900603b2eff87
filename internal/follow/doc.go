// Package follow keeps a store up to date with one kind of the Kubernetes API: client-go's reflector lists, watches and recovers from expired
// watches; the waits between attempts, the choice of a version that is served, and what is known of failures are here. It holds no objects
// and judges none.
package follow
