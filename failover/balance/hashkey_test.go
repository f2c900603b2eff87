package balance

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func set(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[name] = values }
}

func hostB(r *http.Request) { r.Host = "b" }

func query(text string) func(*http.Request) { return func(r *http.Request) { r.URL.RawQuery = text } }

func TestAffinityOf(t *testing.T) {
	t.Parallel()
	request := func(change func(*http.Request)) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/cart?user=a&user=b&empty=", nil)
		r.Host = "shop.example"
		r.Header.Set("X-User", "a")
		r.AddCookie(&http.Cookie{Name: "session", Value: "1"})
		if change != nil {
			change(r)
		}
		return r
	}
	for name, c := range map[string]struct {
		by     HashKey
		values []string // nil: no affinity
		other  func(*http.Request)
	}{
		"none":                        {},
		"header":                      {by: HashKey{Header: "x-user"}, values: []string{"a"}, other: set("X-User", "b")},
		"header twice":                {by: HashKey{Header: "x-user"}, values: []string{"a"}, other: set("X-User", "a", "a")},
		"no such header":              {by: HashKey{Header: "x-other"}},
		"host":                        {by: HashKey{Header: "host"}, values: []string{"shop.example"}, other: hostB},
		"authority":                   {by: HashKey{Header: ":authority"}, values: []string{"shop.example"}},
		"query":                       {by: HashKey{Query: "user"}, values: []string{"a", "b"}, other: query("user=a")},
		"empty parameter":             {by: HashKey{Query: "empty"}, values: []string{""}},
		"no parameter":                {by: HashKey{Query: "other"}},
		"cookie":                      {by: HashKey{Cookie: "session"}, values: []string{"1"}, other: set("Cookie", "session=2")},
		"cookie, with a time to live": {by: HashKey{Cookie: "session", CookieTTL: new(time.Hour)}, values: []string{"1"}},
		"no cookie":                   {by: HashKey{Cookie: "other"}},
	} {
		want := uint64(0)
		if c.values != nil {
			want = Affinity(c.values...)
		}
		got, cookie := c.by.Of(request(nil))
		if got != want || cookie != nil {
			t.Errorf("%s: %x and cookie %v, want %x", name, got, cookie, want)
		}
		if c.other == nil {
			continue
		}
		if other, _ := c.by.Of(request(c.other)); other == got {
			t.Errorf("%s: another value has the same affinity", name)
		}
	}
}

// The client that returns with its cookie has the affinity of the request before.
func TestFreshCookie(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[time.Duration]string{
		90 * time.Minute: "user=%s; Path=/shop; Max-Age=5400; HttpOnly", 0: "user=%s; Path=/shop; HttpOnly",
	} {
		by := HashKey{Cookie: "user", CookiePath: "/shop", CookieTTL: &ttl}
		first, cookie := by.Of(httptest.NewRequest(http.MethodGet, "/", nil))
		if first == 0 || cookie == nil {
			t.Fatal("no cookie")
		}
		if got := cookie.String(); got != fmt.Sprintf(want, cookie.Value) {
			t.Errorf("Set-Cookie: %q", got)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(cookie)
		if again, another := by.Of(r); again != first || another != nil {
			t.Errorf("%x, then %x and cookie %v", first, again, another)
		}
		if other, _ := by.Of(httptest.NewRequest(http.MethodGet, "/", nil)); other == first {
			t.Error("another client has the same affinity")
		}
	}
}
