// Package kubeconfig finds the Kubernetes API server, as processes that run for long and may run in a pod do. It does not connect.
package kubeconfig
