package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
	pemBegin       = "-----BEGIN "
	pemEnd         = "-----END "
	pemDashes      = "-----"
)

// pemBlocks reads all PEM blocks. Text around them is ignored (RFC 7468, section 2), as are a byte order mark, indentation, and how
// lines end. A block that cannot be read is an error: what it held would be missing later.
func pemBlocks(data []byte) ([]*pem.Block, error) {
	lines, err := pemLines(data)
	if err != nil {
		return nil, err
	}
	var blocks []*pem.Block
	for i := 0; i < len(lines); {
		if !strings.HasPrefix(lines[i], pemBegin) {
			i++
			continue
		}
		end := i + 1
		for end < len(lines) && !strings.HasPrefix(lines[end], pemBegin) {
			end++
		}
		block, _ := pem.Decode([]byte(strings.Join(lines[i:end], "\n") + "\n"))
		if block == nil {
			return nil, fmt.Errorf("PEM block %d, line %d: %w", len(blocks)+1, i+1, whyBroken(lines[i:end]))
		}
		blocks = append(blocks, block)
		i = end
	}
	return blocks, nil
}

// pemLines are the lines of a text file, trimmed.
func pemLines(data []byte) ([]string, error) {
	const derSequence = 0x30 // with which certificates and keys in DER and PKCS #12 begin
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return nil, errors.New("it is UTF-16 text: save it as UTF-8")
	case len(data) > 1 && data[0] == derSequence && data[1] >= 0x80:
		return nil, errors.New("it is binary (DER or PKCS #12), PEM is needed: convert it with " +
			"`openssl x509 -inform DER`, `openssl pkey -inform DER` or `openssl pkcs12 -nodes`")
	}
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(trimText(data))), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return lines, nil
}

// trimText is data without a byte order mark and the spaces around.
func trimText(data []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
}

// whyBroken names what is wrong with a block that pem.Decode does not take.
func whyBroken(lines []string) error {
	first := lines[0]
	switch {
	case strings.Contains(first, `\n`):
		return errors.New(`it has the characters \n where lines should end: print it with printf '%b', or use a YAML block (|)`)
	case strings.Count(first, pemDashes) != 2 || !strings.HasSuffix(first, pemDashes):
		return errors.New("its line breaks are lost: BEGIN, END and each line of base64 need lines of their own; " +
			`quote the variable in a shell ("$CERT"), use a block (|) in YAML`)
	case !strings.Contains(strings.Join(lines, "\n"), pemEnd):
		return errors.New("there is no -----END line: it is cut off, copy the whole file")
	default:
		return errors.New("its base64 text or its END line is damaged: copy the file again")
	}
}

func isCertificate(block *pem.Block) bool {
	// The other two are older names of the first (RFC 7468, section 5.1).
	return block.Type == pemCertificate || block.Type == "X509 CERTIFICATE" || block.Type == "X.509 CERTIFICATE"
}

// parsePEM reads certificates and nothing else, so that a key pasted by mistake is
// noticed instead of being passed on.
func parsePEM(data []byte) ([]*x509.Certificate, error) {
	blocks, err := pemBlocks(data)
	if err != nil {
		return nil, err
	}
	for i, block := range blocks {
		switch {
		case isCertificate(block):
		case block.Type == "TRUSTED CERTIFICATE":
			return nil, fmt.Errorf("block %d is a %q, a format of openssl's own: write it anew with `openssl x509`", i+1, block.Type)
		default:
			return nil, fmt.Errorf("block %d is a %q, expected only CERTIFICATE", i+1, block.Type)
		}
	}
	return parseCertificates(blocks)
}

// parseChain reads the certificates of a file which may hold their key too, as some programs want it.
func parseChain(data []byte) ([]*x509.Certificate, error) {
	blocks, err := pemBlocks(data)
	if err != nil {
		return nil, err
	}
	return parseCertificates(blocks)
}

func parseCertificates(blocks []*pem.Block) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for _, block := range blocks {
		if !isCertificate(block) {
			continue
		}
		if len(list) == maxBundleCerts {
			return nil, fmt.Errorf("more than %d certificates", maxBundleCerts)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(list)+1, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("no PEM certificate found")
	}
	return list, nil
}

// parseKey reads the first private key: PKCS #8, PKCS #1 (cert-manager's default) or SEC 1. Certificates and parameters may be beside it.
func parseKey(data []byte) (crypto.Signer, error) {
	blocks, err := pemBlocks(data)
	if err != nil {
		return nil, err
	}
	var other string
	for _, block := range blocks {
		_, old := block.Headers["DEK-Info"] // RFC 1421, as openssl wrote it before PKCS #8
		switch {
		case old || block.Type == "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("the private key is encrypted, and a proxy cannot type a passphrase: " +
				"decrypt it with `openssl pkey -in FILE -out DECRYPTED`, use that instead, and keep it to its owner (chmod 600)")
		case block.Type == "OPENSSH PRIVATE KEY":
			return nil, errors.New("the private key is in OpenSSH's format: convert it with `ssh-keygen -p -m PKCS8 -f FILE`")
		case strings.HasSuffix(block.Type, pemKey):
			return parsePrivateKey(block)
		default:
			other = block.Type
		}
	}
	if other != "" {
		return nil, fmt.Errorf("no PEM private key found, only a %q", other)
	}
	return nil, errors.New("no PEM private key found")
}

// parsePrivateKey tries all formats: some programs write one under the name of another.
func parsePrivateKey(block *pem.Block) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err == nil {
		return checkSigner(key)
	}
	if key, rsaErr := x509.ParsePKCS1PrivateKey(block.Bytes); rsaErr == nil {
		return checkSigner(key)
	} else if strings.HasPrefix(block.Type, "RSA") {
		err = rsaErr
	}
	if key, ecErr := x509.ParseECPrivateKey(block.Bytes); ecErr == nil {
		return checkSigner(key)
	} else if strings.HasPrefix(block.Type, "EC") {
		err = ecErr
	}
	return nil, fmt.Errorf("the %s cannot be read: %w: it must be a key of RSA, ECDSA or Ed25519 in PKCS #8, PKCS #1 or SEC 1", block.Type, err)
}

func checkSigner(key any) (crypto.Signer, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key of type %T cannot sign: use RSA, ECDSA or Ed25519", key)
	}
	if k, ok := key.(*ecdsa.PrivateKey); ok && k.Curve == elliptic.P224() {
		return nil, errors.New("private key is on the curve P-224, which TLS 1.3 does not have: use P-256")
	}
	return signer, nil
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

func encodeCerts(list []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range list {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw}))
	}
	return out.Bytes()
}
