// Package kubecli is what eastway's commands do in a Kubernetes cluster: find the installation, ask its proxies through
// port-forwards, import and remove Peers, export Services and take them over. It prints nothing; package check looks for
// what is wrong.
//
// It acts with the rights of whoever runs the command, and needs none beyond those of what is asked for.
package kubecli
