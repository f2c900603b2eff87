package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/admin"
)

// Which services a proxy listens for is for node agents that prove themselves, and for its own machine; another client that tries is
// shown.
func TestServicesAreForNodeAgents(t *testing.T) {
	t.Parallel()
	s := newSite(t, "aa")
	s.write(t, "shop.yaml", serviceManifest("shop", newAddress(), endpoint{newAddress(), "aa-1"}))
	health, agents := newAddress()+":15020", newAddress()+":15024"
	p := s.start(t, "--health", health, "--agents", agents)
	get := func(address string, config *tls.Config) (int, string, error) {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: config}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+admin.PathListeners, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body), err
	}
	if code, body, err := get("http://"+health, nil); code != http.StatusNotFound || strings.Contains(body, "shop") {
		t.Errorf("any client: %d, %v, %s", code, err, body)
	}
	eventually(t, "the operator sees the listener", func() error {
		code, body, err := p.get(t, admin.PathListeners)
		if err == nil && (code != http.StatusOK || !strings.Contains(body, "default/shop")) {
			err = fmt.Errorf("%d: %s", code, body)
		}
		return err
	})
	ca, err := certs.OpenCA(s.ca, certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(s.dir, "node")
	svid, err := ca.IssueNode(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := certs.WriteSVID(dir, svid, ca.Bundle()); err != nil {
		t.Fatal(err)
	}
	source, err := certs.NewFileSource(certs.FileSourceConfig{Dir: dir, Node: true})
	if err != nil {
		t.Fatal(err)
	}
	config, err := certs.NodeClientConfig(source, "aa", nil)
	if err != nil {
		t.Fatal(err)
	}
	if code, body, err := get("https://"+agents, config); code != http.StatusOK || !strings.Contains(body, "default/shop") {
		t.Errorf("a node agent: %d, %v, %s", code, err, body)
	}
	bare := config.Clone()
	bare.GetClientCertificate = nil
	if _, body, err := get("https://"+agents, bare); err == nil {
		t.Errorf("a client without a certificate: %s", body)
	}
	if p.metric(t, "eastway_node_agents_refused_total") != 1 ||
		!slices.ContainsFunc(p.status(t).Errors, func(e string) bool { return strings.Contains(e, "listener for node agents: no_certificate") }) {
		t.Errorf("it is not shown: %q", p.status(t).Errors)
	}
}
