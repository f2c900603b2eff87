// Package admission decides which connections may prove who they are, which of them compute, and which ends when there are too many. It
// is fed with times and addresses, and knows neither sockets nor certificates.
package admission
