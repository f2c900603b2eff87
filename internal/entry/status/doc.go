// Package status writes what an entry found out about Gateways and routes into their status, on Kubernetes. Of several entries one writes: the
// one that has the Lease. What is to be written is a pure function of what was compiled and of what is there; conditions, entries and fields of
// others stay as they are, and nothing is written that is there already. It never writes addresses, nor the status of GatewayClasses: the
// controller does.
package status
