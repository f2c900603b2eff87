// Package istio makes Eastway's TrafficPolicies and ExternalServices of Istio's DestinationRules, ServiceEntries and VirtualServices, and says of
// each field that has no counterpart what that means. It has types of its own for the three, with the fields that it uses; tools/istio compares
// them with Istio's API. It reads no files and knows no cluster: what comes of some objects follows from these alone.
package istio
