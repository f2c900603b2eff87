package v1alpha1_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Each spec.tls has exactly the error that it should.
func TestValidateClientTLS(t *testing.T) {
	t.Parallel()
	const files = "caCertificates: /ca.crt, clientCertificate: /tls.crt, privateKey: /tls.key"
	for _, tt := range []struct{ tls, want string }{
		{"{mode: DISABLE}", ""},
		{"{mode: SIMPLE}", ""},
		{"{mode: SIMPLE, sni: db.test, caCertificates: /ca.crt, subjectAltNames: [db.test, 192.0.2.1, \"https://db.test/x\"]}", ""},
		{"{mode: MUTUAL, " + files + "}", ""},
		{"{mode: SPIFFE, subjectAltNames: [\"spiffe://east/db\"]}", ""},
		{"{}", "spec.tls.mode: Required value: DISABLE, SIMPLE, MUTUAL or SPIFFE"},
		{"{mode: simple}", `spec.tls.mode: Unsupported value: "simple"`},
		{"{mode: ISTIO_MUTUAL}", "is not supported: SPIFFE is Eastway's"},
		{"{mode: SIMPLE, sni: \"*.test\"}", "spec.tls.sni: Invalid value"},
		{"{mode: SIMPLE, subjectAltNames: [\"*.test\"]}", "spec.tls.subjectAltNames[0]: Invalid value: \"*.test\": must be a DNS name"},
		{"{mode: SPIFFE, subjectAltNames: [db.test]}", "spec.tls.subjectAltNames[0]: Invalid value: \"db.test\": must be a SPIFFE ID"},
		{"{mode: SIMPLE, subjectAltNames: [" + strings.Repeat("a.test,", 65) + "]}", "spec.tls.subjectAltNames: Too many: 65"},
		{"{mode: SPIFFE, caCertificates: /ca.crt}", "spec.tls.caCertificates: Forbidden: with SPIFFE the roots are"},
		{"{mode: SIMPLE, caCertificates: ca.crt}", "spec.tls.caCertificates: Invalid value: \"ca.crt\": must be an absolute path"},
		{"{mode: SIMPLE, privateKey: /tls.key}", "spec.tls.privateKey: Forbidden: only the mode MUTUAL"},
		{"{mode: MUTUAL, clientCertificate: /tls.crt}", "spec.tls.privateKey: Required value: with MUTUAL"},
		{"{mode: SIMPLE, credentialName: x}", "spec.tls.credentialName: Forbidden: Secrets are for Kubernetes"},
	} {
		text := externalService + "  tls: " + tt.tls + "\n"
		check(t, text, tt.want)
		if strings.Contains(tt.tls, "mode: SIMPLE}") {
			check(t, strings.Replace(text, "protocol: HTTP", "protocol: HTTPS", 1),
				"spec.ports[0].protocol: Invalid value: \"HTTPS\": the application does TLS itself")
		}
		if strings.Contains(tt.tls, "DISABLE") {
			check(t, strings.Replace(text, "protocol: HTTP", "protocol: HTTPS", 1), "")
		}
	}
}

func check(t *testing.T, text, want string) {
	t.Helper()
	var e v1alpha1.ExternalService
	if err := yaml.UnmarshalStrict([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	errs := v1alpha1.ValidateExternalService(&e)
	switch {
	case want == "" && len(errs) == 0:
	case want == "" || len(errs) != 1 || !strings.Contains(errs[0].Error(), want):
		t.Errorf("%s\ngot  %v\nwant %q", text, errs, want)
	}
}

// On Kubernetes files are refused, and with a text that names what works.
func TestValidateClusterExternalService(t *testing.T) {
	t.Parallel()
	const files = "clientCertificate: /tls.crt, privateKey: /tls.key"
	for tls, want := range map[string]string{
		"{mode: DISABLE, caCertificates: /ca.crt}": "", // nothing is read
		"{mode: SIMPLE}": "",
		"{mode: SPIFFE}": "",
		"{mode: SIMPLE, caCertificates: /ca.crt}":          "spec.tls.caCertificates: Forbidden: on Kubernetes proxies read no files",
		"{mode: MUTUAL, credentialName: c, " + files + "}": "spec.tls.clientCertificate: Forbidden: on Kubernetes proxies read no files",
		"{mode: MUTUAL}": "spec.tls.credentialName: Required value: with MUTUAL",
		"{mode: SIMPLE, credentialName: mydb.ca}":     "",
		"{mode: MUTUAL, credentialName: mydb}":        "",
		"{mode: SPIFFE, credentialName: mydb}":        "spec.tls.credentialName: Forbidden",
		"{mode: SIMPLE, credentialName: ../state}":    "spec.tls.credentialName: Invalid value",
		"{mode: MUTUAL, credentialName: c, sni: a_b}": "spec.tls.sni",
	} {
		var e v1alpha1.ExternalService
		text := "{metadata: {name: db}, spec: {hosts: [db.test], ports: [{number: 80, name: http}], tls: " + tls + "}}"
		if err := yaml.UnmarshalStrict([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		errs := v1alpha1.ValidateClusterExternalService(&e)
		if want == "" && len(errs) > 0 || want != "" && (len(errs) == 0 || !strings.Contains(errs[0].Error(), want)) {
			t.Errorf("%s: got %v, want %q", tls, errs, want)
		}
	}
}

// The files are those of the Secret, as it is mounted.
func TestClientTLSFiles(t *testing.T) {
	t.Parallel()
	const dir = v1alpha1.MountDir + "/mydb/"
	for name, c := range map[string]struct {
		tls  v1alpha1.ClientTLS
		want [3]string
	}{
		"files": {
			v1alpha1.ClientTLS{Mode: "MUTUAL", CACertificates: "/a", ClientCertificate: "/b", PrivateKey: "/c"},
			[3]string{"/a", "/b", "/c"},
		},
		"roots":            {v1alpha1.ClientTLS{Mode: "SIMPLE", CredentialName: "mydb"}, [3]string{dir + "ca.crt", "", ""}},
		"and of this side": {v1alpha1.ClientTLS{Mode: "MUTUAL", CredentialName: "mydb"}, [3]string{dir + "ca.crt", dir + "tls.crt", dir + "tls.key"}},
	} {
		var got [3]string
		if got[0], got[1], got[2] = c.tls.Files(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
