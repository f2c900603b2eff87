// Package convert is the command `eastway convert`: it prints what comes of Istio's manifests in Eastway's own form, and says what does not. It
// reads what it is given, and changes nothing.
package convert
