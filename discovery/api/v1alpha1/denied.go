package v1alpha1

import (
	"errors"
	"math/big"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Denied is what is not accepted of a peer, although its trust bundle leads to it: one certificate, or all.
//
// +kubebuilder:validation:XValidation:rule="has(self.serial) != has(self.spiffeID)",message="must have serial or spiffeID, not both"
type Denied struct {
	// Serial is the serial number of a certificate, in hexadecimal digits as `openssl x509 -serial` prints it; colons between bytes may be
	// there. It denies connections of which the peer's own certificate or one of its intermediate CAs has the number.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=59
	// +kubebuilder:validation:Pattern=`^[0-9A-Fa-f]+(:[0-9A-Fa-f]+)*$`
	Serial string `json:"serial,omitempty"`
	// SPIFFEID denies the identity, whatever certificate proves it. It is the one in spec.spiffeID.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	SPIFFEID string `json:"spiffeID,omitempty"`
}

// ParseSerial reads the serial number of a certificate: up to 20 bytes (RFC 5280, 4.1.2.2) in hexadecimal digits, with or without colons.
func ParseSerial(text string) (*big.Int, error) {
	digits := strings.ReplaceAll(text, ":", "")
	isHex := strings.Trim(digits, "0123456789abcdefABCDEF") == ""
	if !isHex || digits == "" || len(digits) > 40 || strings.HasPrefix(text, ":") || strings.HasSuffix(text, ":") {
		return nil, errors.New("must be 1 to 40 hexadecimal digits, as `openssl x509 -serial` prints them")
	}
	n, _ := new(big.Int).SetString(digits, 16)
	return n, nil
}

// validateDenied checks spec.denied of a Peer with that identity.
func validateDenied(at *field.Path, id string, list []Denied) field.ErrorList {
	if n := len(list); n > MaxDenied {
		return field.ErrorList{field.TooMany(at, n, MaxDenied)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, d := range list {
		var key string
		switch at := at.Index(i); {
		case (d.Serial == "") == (d.SPIFFEID == ""):
			errs = append(errs, field.Required(at, "serial or spiffeID, not both"))
			continue
		case d.SPIFFEID != "":
			key = d.SPIFFEID
			if d.SPIFFEID != id {
				errs = append(errs, field.Invalid(at.Child("spiffeID"), short(d.SPIFFEID), "is not this Peer's spec.spiffeID: it denies nothing"))
				continue
			}
		default:
			n, err := ParseSerial(d.Serial)
			if err != nil {
				errs = append(errs, field.Invalid(at.Child("serial"), short(d.Serial), err.Error()))
				continue
			}
			key = n.Text(16)
		}
		if seen[key] {
			errs = append(errs, field.Duplicate(at.Index(i), key))
		}
		seen[key] = true
	}
	return errs
}
