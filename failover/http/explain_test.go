package http

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/balance"
)

func TestReadHead(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("X: y\n", maxFields)
	for name, tt := range map[string]struct{ text, want string }{
		"a file":          {"GET /a?b=c HTTP/1.1\nHost: shop\nX-User: anna", "GET /a?b=c shop anna"},
		"what curl sends": {"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc", "POST / shop "},
		"empty":           {"", "line 1: no request"},
		"empty lines":     {"\n\nGET / HTTP/1.1\nHost: a\n\n", "line 1: no request"},
		"no request line": {"Host: shop\n\n", "line 1: the proxy refuses such a request: method"},
		"HTTP/2":          {"GET / HTTP/2\nHost: shop\n", "line 1: the proxy refuses such a request: version"},
		"space before":    {"GET / HTTP/1.1\nHost: shop\nX : y\n", "line 3: the proxy refuses such a request: field-space"},
		"no host":         {"GET / HTTP/1.1\nX: y\n\n", "line 3: the proxy refuses such a request: host-missing"},
		"too many fields": {"GET / HTTP/1.1\nHost: a\n" + many, "line 102: the proxy refuses such a request: too-many-fields"},
		"too long a header": {
			"GET / HTTP/1.1\nHost: a\nX: " + strings.Repeat("y", maxHeaderBytes), "line 3: the proxy refuses such a request: head-too-large",
		},
	} {
		r, err := ReadHead([]byte(tt.text))
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Host, r.Header.Get("X-User"))
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func FuzzReadHead(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\nHost: a\n"))
	f.Add([]byte("\r\n\nPOST * HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ReadHead(text)
		if err == nil {
			_, _ = KeyOf(r, &balance.HashKey{Cookie: "c"})
		} else if !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("the error names no line: %v", err)
		}
	})
}

func TestRule(t *testing.T) {
	t.Parallel()
	second := &metav1.Duration{Duration: time.Second}
	grpc := map[string]string{"Content-Type": "application/grpc", "Grpc-Timeout": "200m"}
	for name, tt := range map[string]struct {
		policy *v1alpha1.TrafficPolicySpec
		method string
		fields map[string]string
		want   string
	}{
		"default": {method: "GET", want: "GET: repeated on 502,503,504,reset; 2 attempts; timeout none"},
		"POST":    {method: "POST", want: "POST: repeated only if no endpoint can have executed it; timeout none"},
		"never": {
			policy: &v1alpha1.TrafficPolicySpec{Retries: &v1alpha1.Retries{Attempts: new(uint32)}}, method: "GET",
			want: "GET: repeated only if no endpoint can have executed it; timeout none",
		},
		"all": {
			policy: &v1alpha1.TrafficPolicySpec{Timeout: second, Retries: &v1alpha1.Retries{
				Attempts: new(uint32(5)), RetryOn: "5xx,429,unavailable", Methods: []string{"PATCH"}, PerTryTimeout: second,
			}},
			method: "PATCH", want: "PATCH: repeated on 5xx,429,gRPC status 14,reset; 5 attempts; 1s for a try; timeout 1s",
		},
		"gRPC": {
			policy: &v1alpha1.TrafficPolicySpec{Timeout: second}, method: "POST", fields: grpc,
			want: "POST (gRPC): repeated only if no endpoint can have executed it; timeout 200ms (grpc-timeout)",
		},
	} {
		r := &http.Request{Method: tt.method, Header: http.Header{}}
		for k, v := range tt.fields {
			r.Header.Set(k, v)
		}
		if got := Rule(r, balance.RequestsOf(tt.policy)); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// A cookie that is set with the answer is not known before.
func TestKeyOf(t *testing.T) {
	t.Parallel()
	by := balance.HashKey{Cookie: "c", CookieTTL: new(time.Hour)}
	r := &http.Request{Header: http.Header{}}
	if affinity, anyKey := KeyOf(r, &by); affinity != 0 || !anyKey {
		t.Errorf("without the cookie: %x, %t", affinity, anyKey)
	}
	r.AddCookie(&http.Cookie{Name: "c", Value: "1"})
	if affinity, anyKey := KeyOf(r, &by); affinity != balance.Affinity("1") || anyKey {
		t.Errorf("with the cookie: %x, %t", affinity, anyKey)
	}
}
