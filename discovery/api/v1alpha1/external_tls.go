package v1alpha1

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ClientTLS is what the proxy adds to connections to endpoints. It follows Istio's message ClientTLSSettings; the mode SPIFFE is Eastway's.
type ClientTLS struct {
	// Mode is DISABLE; SIMPLE: the endpoint's certificate is verified; MUTUAL: and we present clientCertificate; SPIFFE: both sides present
	// an X.509 SVID of this cluster's trust domain.
	// +kubebuilder:validation:Enum=DISABLE;SIMPLE;MUTUAL;SPIFFE
	Mode string `json:"mode"`
	// SNI is the server name; absent: the endpoint's DNS name, or the first host where it is an IP address.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SNI string `json:"sni,omitempty"`
	// SubjectAltNames are what the certificate has to be for one of: DNS names, IP addresses or URIs. Absent: the server name; with SPIFFE
	// any ID of the trust domain.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	SubjectAltNames []string `json:"subjectAltNames,omitempty"`
	// CACertificates is a PEM file of roots on the proxy's host, not for Kubernetes; absent: those of the system, or the well-known ones where
	// it has none. On Kubernetes credentialName has others.
	// +optional
	CACertificates string `json:"caCertificates,omitempty"`
	// ClientCertificate and PrivateKey are PEM files on the proxy's host, for MUTUAL; not for Kubernetes.
	// +optional
	ClientCertificate string `json:"clientCertificate,omitempty"`
	// +optional
	PrivateKey string `json:"privateKey,omitempty"`
	// CredentialName is a Secret in Eastway's namespace that the chart mounts into the proxies' pods (proxy.externalCredentials), for
	// Kubernetes: ca.crt has the roots and, for MUTUAL, tls.crt and tls.key what the proxy presents.
	// +optional
	CredentialName string `json:"credentialName,omitempty"`
}

// Values of ClientTLS.Mode.
const (
	TLSDisable = "DISABLE"
	TLSSimple  = "SIMPLE"
	TLSMutual  = "MUTUAL"
	TLSSPIFFE  = "SPIFFE"
)

// IsOn is true when TLS is added.
func (t *ClientTLS) IsOn() bool { return t != nil && t.Mode != TLSDisable }

func validateClientTLS(at *field.Path, s *ExternalServiceSpec) field.ErrorList {
	t := s.TLS
	if t == nil {
		return nil
	}
	modes := []string{TLSDisable, TLSSimple, TLSMutual, TLSSPIFFE}
	switch {
	case t.Mode == "":
		return field.ErrorList{field.Required(at.Child("mode"), "DISABLE, SIMPLE, MUTUAL or SPIFFE")}
	case t.Mode == "ISTIO_MUTUAL":
		return field.ErrorList{field.Invalid(at.Child("mode"), t.Mode,
			"is not supported: SPIFFE is Eastway's: both sides present an SVID of this cluster")}
	case !slices.Contains(modes, t.Mode):
		return field.ErrorList{field.NotSupported(at.Child("mode"), short(t.Mode), modes)}
	}
	errs := validateTLSFiles(at, t)
	if t.SNI != "" {
		errs = append(errs, named(at.Child("sni"), t.SNI, "", dnsName)...)
	}
	if n := len(t.SubjectAltNames); n > MaxSubjectAltNames {
		errs = append(errs, field.TooMany(at.Child("subjectAltNames"), n, MaxSubjectAltNames))
	} else {
		for i, name := range t.SubjectAltNames {
			if why := t.refusedName(name); why != "" {
				errs = append(errs, field.Invalid(at.Child("subjectAltNames").Index(i), short(name), why))
			}
		}
	}
	for i := range s.Ports {
		if p := &s.Ports[i]; t.IsOn() && (p.Protocol == "TLS" || p.Protocol == "HTTPS") {
			errs = append(errs, field.Invalid(field.NewPath("spec", "ports").Index(i).Child("protocol"), p.Protocol,
				"the application does TLS itself on this port, and spec.tls would add it once more: set HTTP or TCP, or remove spec.tls"))
		}
	}
	return errs
}

// refusedName is why a subject name is not one; empty: it is.
func (t *ClientTLS) refusedName(name string) string {
	isURI := strings.Contains(name, "://")
	switch _, err := netip.ParseAddr(name); {
	case t.Mode == TLSSPIFFE:
		if _, err := spiffeid.FromString(name); err != nil {
			return "must be a SPIFFE ID, spiffe://TRUST-DOMAIN/PATH"
		}
	case err == nil, isURI && len(name) <= MaxSPIFFEID:
	case isURI, len(dnsName(name)) > 0:
		return "must be a DNS name without wildcard, an IP address or a URI"
	}
	return ""
}

func validateTLSFiles(at *field.Path, t *ClientTLS) field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct{ name, path string }{
		{"caCertificates", t.CACertificates}, {"clientCertificate", t.ClientCertificate}, {"privateKey", t.PrivateKey},
	} {
		here := at.Child(f.name)
		switch {
		case f.name == "caCertificates":
			if f.path != "" && t.Mode == TLSSPIFFE {
				errs = append(errs, field.Forbidden(here, "with SPIFFE the roots are those of this cluster's trust domain: remove it"))
				continue
			}
		case f.path == "" && t.Mode == TLSMutual:
			errs = append(errs, field.Required(here, "with MUTUAL: a PEM file"))
			continue
		case f.path != "" && t.Mode != TLSMutual:
			errs = append(errs, field.Forbidden(here, "only the mode MUTUAL presents it: set that, or remove it"))
			continue
		}
		if f.path != "" && !filepath.IsAbs(f.path) {
			errs = append(errs, field.Invalid(here, short(f.path), "must be an absolute path, of a PEM file on the proxy's host"))
		}
	}
	if t.CredentialName != "" {
		errs = append(errs, field.Forbidden(at.Child("credentialName"),
			"Secrets are for Kubernetes: name files by caCertificates, clientCertificate and privateKey"))
	}
	return errs
}

// MountDir has the Secrets that credentialName may name, mounted into the proxies' pods each as a directory.
const MountDir = "/etc/eastway/credentials"

// Files are the PEM files of roots, and of what the proxy presents; empty: none.
func (t *ClientTLS) Files() (ca, certificate, key string) {
	if t.CredentialName == "" {
		return t.CACertificates, t.ClientCertificate, t.PrivateKey
	}
	dir := filepath.Join(MountDir, t.CredentialName)
	if ca = filepath.Join(dir, "ca.crt"); t.Mode == TLSMutual {
		certificate, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	}
	return ca, certificate, key
}

// ValidateClusterExternalService is ValidateExternalService for an object of Kubernetes: there a path would be one in the containers of all
// proxies, which have Secrets instead.
func ValidateClusterExternalService(e *ExternalService) field.ErrorList {
	t := e.Spec.TLS
	if !t.IsOn() {
		return ValidateExternalService(e)
	}
	at := field.NewPath("spec", "tls")
	var errs field.ErrorList
	for _, f := range []struct{ name, path string }{
		{"caCertificates", t.CACertificates}, {"clientCertificate", t.ClientCertificate}, {"privateKey", t.PrivateKey},
	} {
		if f.path != "" {
			errs = append(errs, field.Forbidden(at.Child(f.name), "on Kubernetes proxies read no files: name a Secret by credentialName, or remove "+
				"it for the well-known roots"))
		}
	}
	switch here := at.Child("credentialName"); {
	case t.CredentialName == "" && t.Mode == TLSMutual:
		errs = append(errs, field.Required(here, "with MUTUAL: a Secret with ca.crt, tls.crt and tls.key"))
	case t.CredentialName != "" && t.Mode == TLSSPIFFE:
		errs = append(errs, field.Forbidden(here, "with SPIFFE both sides present an SVID of this cluster's trust domain: remove it"))
	case t.CredentialName != "":
		errs = append(errs, named(here, t.CredentialName, "", validation.IsDNS1123Subdomain)...)
	}
	rest, tls := *e, *t
	tls.CACertificates, tls.ClientCertificate, tls.PrivateKey, tls.CredentialName = "", "", "", ""
	if tls.Mode == TLSMutual {
		tls.Mode = TLSSimple
	}
	rest.Spec.TLS = &tls
	return append(errs, ValidateExternalService(&rest)...)
}
