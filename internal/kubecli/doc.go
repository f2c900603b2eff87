// Package kubecli is what eastway's commands do in a Kubernetes cluster: find the installation, query its proxies through
// port-forwards, import and remove Peers, export Services and take them over. It prints nothing; package check looks for
// what is wrong.
//
// It acts with the rights of the user that runs the command, and needs only those that the command itself takes.
package kubecli
