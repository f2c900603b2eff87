// Package identity keeps the cluster's certificate authority, the certificate
// that its proxies show, and the Peer manifest that other clusters import: two
// Secrets and a ConfigMap in the installation's namespace.
//
// A CA is made once, and never overwritten. One that is gone is not replaced
// while a Secret or ConfigMap of the installation has its roots. A Secret that something else manages
// (cert-manager, a person) is used and left alone.
package identity
