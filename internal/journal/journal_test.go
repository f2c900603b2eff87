package journal

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadersGetAllThenWhatIsNew(t *testing.T) {
	t.Parallel()
	var j Journal[map[string]int]
	j.Add(map[string]int{"n": 1})
	server := httptest.NewServer(&j)
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("read %q (%v), want %q", lines.Text(), lines.Err(), want)
		}
	}
	next(`{"n":1}`)
	j.Add(map[string]int{"n": 2})
	j.Add(map[string]int{"n": 3})
	next(`{"n":2}`)
	j.Add(map[string]int{"n": 4})
	j.Close()
	next(`{"n":3}`)
	next(`{"n":4}`)
	if lines.Scan() {
		t.Errorf("read %q after the end", lines.Text())
	}
}
