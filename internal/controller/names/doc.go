// Package names makes the names of objects that the controller derives from
// others: readable, unique, and within the limits of Kubernetes.
package names
