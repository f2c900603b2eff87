package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// seen is what the endpoint says of a request.
type seen struct {
	Method  string
	Target  string
	Host    string
	Proto   string
	Header  http.Header
	Trailer http.Header
	Length  int64 // as announced; -1: it was not
	Bytes   int64
	SHA256  string
	Error   string `json:",omitempty"`
}

// fileTime is when the files of the endpoint were changed.
func fileTime() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// echo answers with what it has seen of the request, or, at /file/N, with N bytes of which a range can be had.
func echo(w http.ResponseWriter, r *http.Request) {
	if size, ok := strings.CutPrefix(r.URL.Path, "/file/"); ok {
		n, err := strconv.Atoi(size)
		if err != nil || n < 0 {
			http.Error(w, "no number of bytes", http.StatusBadRequest)
			return
		}
		w.Header().Set("Etag", `"`+size+`"`)
		http.ServeContent(w, r, "file.bin", fileTime(), bytes.NewReader(pattern(n)))
		return
	}
	hash := sha256.New()
	n, err := io.Copy(hash, r.Body)
	s := seen{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Proto: r.Proto, Header: r.Header, Trailer: r.Trailer,
		Length: r.ContentLength, Bytes: n, SHA256: fmt.Sprintf("%x", hash.Sum(nil)),
	}
	if err != nil {
		s.Error = err.Error()
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Add("Set-Cookie", "a=b; Path=/")
	h.Add("Set-Cookie", "c=d")
	h.Set("X-Empty", "")
	h.Set("Trailer", "X-Checksum")
	if code, err := strconv.Atoi(r.URL.Query().Get("status")); err == nil {
		w.WriteHeader(code)
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(text) // a client that is gone has no answer
	h.Set("X-Checksum", s.SHA256)
}

// pattern of n bytes in which no part is like another one.
func pattern(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // it has no errors
	return b
}

// get is the body of a good answer.
func get(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", url, resp.Status, body)
	}
	return string(body)
}
