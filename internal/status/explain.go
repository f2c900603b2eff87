package status

// Explanation is what `eastway explain SERVICE` shows of one service port: where the next calls of a caller go, and why.
type Explanation struct {
	Port uint16 `json:"port"`
	// Protocol is "HTTP" where requests are balanced, else "TCP".
	Protocol string `json:"protocol"`
	// Region and Zone are where the caller is.
	Region string `json:"region,omitempty"`
	Zone   string `json:"zone,omitempty"`
	// Note is what may be wrong with the query. Empty: nothing is.
	Note string `json:"note,omitempty"`
	// LoadBalancer is how one of several equal candidates is chosen.
	LoadBalancer string `json:"loadBalancer"`
	// Request is what applies to the request: repetition and timeout. Empty without one, and for TCP.
	Request    string   `json:"request,omitempty"`
	Candidates []Choice `json:"candidates"`
}

// Choice is an endpoint and its part of the next calls.
type Choice struct {
	Endpoint
	// Weight, in percent, is that of its localities in the policy's distribute; 0 if they have none.
	Weight float64 `json:"weight,omitempty"`
	// Share, in percent, is the predicted part of the next calls that go there first.
	Share float64 `json:"share"`
	// Rule is what decides that.
	Rule string `json:"rule"`
}

// Query selects the calls that are explained.
type Query struct {
	Namespace, Name string
	// Port is one of the service; 0: each of them.
	Port uint16
	// From is the caller's ZONE or REGION/ZONE, Source its IP address. Without From it is where Source is, without both where the proxy is.
	From, Source string
	// Request is the head of an HTTP/1.1 request, empty for any.
	Request []byte
}
