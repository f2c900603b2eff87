package ratelimit

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestMatches(t *testing.T) {
	t.Parallel()
	request := func(method, host, path string) *http.Request {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{Method: method, Host: host, URL: u, Header: http.Header{"X-Tier": {"free", "slow"}}}
	}
	type match = v1alpha1.RateLimitMatch
	sub := func(path string) Call { return Call{Request: request("GET", "a", path)} }
	at := func(host string) Call { return Call{Request: request("GET", host, "/")} }
	header := func(list ...string) (m match) {
		for i := 0; i < len(list); i += 2 {
			m.Headers = append(m.Headers, v1alpha1.HeaderMatch{Name: list[i], Value: list[i+1]})
		}
		return m
	}
	get := request("GET", "shop.example.com:8080", "/cart/items?x=/other")
	for name, c := range map[string]struct {
		call  Call
		match match
		want  bool
	}{
		"everything":                 {Call{Request: get}, match{}, true},
		"host":                       {Call{Request: get}, match{Hosts: []string{"other", "shop.example.com"}}, true},
		"host in capitals":           {at("SHOP.Example.com."), match{Hosts: []string{"shop.example.com"}}, true},
		"address":                    {at("[::1]:80"), match{Hosts: []string{"*.example.com"}}, false},
		"address of IPv4":            {at("10.0.0.1"), match{Hosts: []string{"10.0.0.1"}}, true},
		"other host":                 {Call{Request: get}, match{Hosts: []string{"example.com"}}, false},
		"below":                      {Call{Request: get}, match{Hosts: []string{"*.example.com"}}, true},
		"far below":                  {at("a.b.EXAMPLE.com"), match{Hosts: []string{"*.example.com"}}, true},
		"not below itself":           {at("example.com"), match{Hosts: []string{"*.example.com"}}, false},
		"not below by letters":       {at("myexample.com"), match{Hosts: []string{"*.example.com"}}, false},
		"path":                       {Call{Request: get}, match{PathPrefixes: []string{"/other", "/cart"}}, true},
		"path with a slash":          {Call{Request: get}, match{PathPrefixes: []string{"/cart/"}}, true},
		"whole path":                 {Call{Request: get}, match{PathPrefixes: []string{"/cart/items"}}, true},
		"root":                       {Call{Request: get}, match{PathPrefixes: []string{"/"}}, true},
		"whole elements only":        {sub("/cartoon"), match{PathPrefixes: []string{"/cart"}}, false},
		"escaped path":               {sub("/%63art"), match{PathPrefixes: []string{"/cart"}}, true},
		"method":                     {Call{Request: get}, match{Methods: []string{"POST", "GET"}}, true},
		"other method":               {Call{Request: get}, match{Methods: []string{"POST"}}, false},
		"header":                     {Call{Request: get}, header("x-tier", "slow"), true},
		"header's value is exact":    {Call{Request: get}, header("x-tier", "Slow"), false},
		"all headers":                {Call{Request: get}, header("x-tier", "free", "x-a", "b"), false},
		"cluster":                    {Call{Cluster: "a", Request: get}, match{Clusters: []string{"b", "a"}}, true},
		"other cluster":              {Call{Cluster: "a", Request: get}, match{Clusters: []string{"b"}}, false},
		"all fields":                 {Call{Cluster: "a", Request: get}, match{Clusters: []string{"a"}, Methods: []string{"POST"}}, false},
		"connection":                 {Call{Cluster: "a"}, match{Clusters: []string{"a"}}, true},
		"connection, other cluster":  {Call{Cluster: "a"}, match{Clusters: []string{"b"}}, false},
		"connection without a host":  {Call{}, match{Hosts: []string{"*.example.com"}}, false},
		"connection without a path":  {Call{}, match{PathPrefixes: []string{"/"}}, false},
		"connection, no method":      {Call{}, match{Methods: []string{"GET"}}, false},
		"connection without headers": {Call{}, header("a", "b"), false},
	} {
		if got := c.call.matches(&c.match); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
