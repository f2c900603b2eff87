// Package netns makes network namespaces that do not outlive their purpose,
// and runs functions inside of them.
//
// A namespace made by Create is visible to all programs in /run/netns, as those
// of `ip netns` are, and named after the process that owns it. Close removes
// it; when the owner was killed before it could, Sweep of any later process
// does. Linux only; root is needed.
package netns
