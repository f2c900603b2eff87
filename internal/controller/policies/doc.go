// Package policies writes to each TrafficPolicy's status whether it is in use.
// What a policy does is the proxies' business.
package policies
