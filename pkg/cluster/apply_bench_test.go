package cluster

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// manyHosts is a cluster file with that many hosts.
func manyHosts(n int, defaults string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "out = \"c\"\n[authority]\ndir = \"c/authority\"\n[defaults]\n%s", defaults)
	for i := range n {
		fmt.Fprintf(&b, "[[hosts]]\nname = \"kvm%d.example.com\"\naddresses = [\"10.%d.%d.%d\"]\n", i, i>>16, i>>8&255, i&255)
	}
	return b.String()
}

// cpu gives the processors' time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPlan compares clusters in which nothing is to be done: hosts that migrate guests, with four certificates each on
// disk. The file is read, the inventory, the disk, as virt-pki plan does.
func BenchmarkPlan(b *testing.B) {
	for _, hosts := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			dir := b.TempDir()
			text := manyHosts(hosts, "role = \"peer\"\nlayouts = [\"libvirt\", \"qemu\"]\n")
			c := parse(b, dir, text)
			makeOf(b, c).Close()
			defer debug.SetGCPercent(debug.SetGCPercent(400)) // as the command does
			var spent time.Duration
			for b.Loop() {
				before := cpu(b)
				c := parse(b, dir, text)
				a, err := ca.Open(context.Background(), c.Founding.Dir)
				if err != nil {
					b.Fatal(err)
				}
				known, err := Know(context.Background(), a, layout.WriteOptions{})
				if err != nil {
					b.Fatal(err)
				}
				now := time.Now()
				survey, err := c.Spec(now, known.CAs[0].Subject).Look(context.Background(), nil)
				if err != nil {
					b.Fatal(err)
				}
				if ch := c.Compare(&known, survey, now, Allowance{}); len(ch.Steps) > 0 || ch.Identities != 3*hosts {
					b.Fatalf("%d identities, %q", ch.Identities, summary(ch))
				}
				a.Close()
				spent += cpu(b) - before
			}
			b.ReportMetric(spent.Seconds()/float64(b.N), "cpu-s/op")
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N)/float64(hosts), "cpu-us/host")
		})
	}
}

// BenchmarkApply adds 1,000 hosts to a cluster, and compares with what it takes to generate the keys, sign, and write and
// synchronise the same files, each by itself, with as many goroutines.
func BenchmarkApply(b *testing.B) {
	const hosts = 1000
	dir := b.TempDir()
	var ours, bare time.Duration
	for i := 0; b.Loop(); i++ {
		own := filepath.Join(dir, fmt.Sprint(i))
		makeOf(b, parse(b, own, manyHosts(1, ""))).Close()
		c := parse(b, own, manyHosts(1+hosts, ""))
		a := open(b, c.Dir)
		begun := time.Now()
		known, err := Know(context.Background(), a, layout.WriteOptions{})
		if err != nil {
			b.Fatal(err)
		}
		survey, err := c.Spec(begun, known.CAs[0].Subject).Look(context.Background(), nil)
		if err != nil {
			b.Fatal(err)
		}
		agreed := c.Compare(&known, survey, begun, Allowance{})
		done, err := c.Apply(context.Background(), a, Application{Now: begun, Agreed: &agreed})
		if err != nil {
			b.Fatal(err)
		}
		if len(done.Done) != hosts {
			b.Fatalf("%d steps", len(done.Done))
		}
		ours += time.Since(begun)
		bare += bareHosts(b, filepath.Join(dir, fmt.Sprint("bare", i)), hosts, a)
		a.Close()
	}
	b.ReportMetric(ours.Seconds()/float64(b.N), "apply-s/op")
	b.ReportMetric(bare.Seconds()/float64(b.N), "bare-s/op")
	b.ReportMetric(ours.Seconds()/bare.Seconds(), "apply/bare")
}

// bareHosts makes keys and certificates with crypto/x509 and writes the files of the layout libvirt, nothing else.
func bareHosts(b *testing.B, dir string, hosts int, a *ca.Authority) time.Duration {
	b.Helper()
	begun := time.Now()
	parent, err := x509.ParseCertificate(a.CertDER())
	if err != nil {
		b.Fatal(err)
	}
	signer := caKey(b, a.Dir())
	bundle := a.BundlePEM()
	place := layout.Place{Kind: layout.Libvirt}
	err = workers.Do(context.Background(), hosts, runtime.GOMAXPROCS(0), func(i int) error {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		host := fmt.Sprintf("kvm%d.example.com", i)
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
		if err != nil {
			return err
		}
		t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: begun,
			NotAfter: begun.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
		if err != nil {
			return err
		}
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		paths := place.Paths(certs.Server)
		for name, data := range map[string][]byte{paths.CA: bundle, paths.Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			paths.Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
			full := filepath.Join(dir, host, name)
			if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
				return err
			}
			f, err := os.OpenFile(full, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			if _, err := f.Write(data); err != nil {
				return err
			}
			if err := f.Sync(); err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
		}
		return nil
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}
