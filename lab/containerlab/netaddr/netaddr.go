// Package netaddr has what containerlab's template functions take from inet.af/netaddr, on the standard library's
// net/netip, which succeeded it: that module is given up, and not every module proxy serves it any more.
package netaddr

import (
	"errors"
	"net"
	"net/netip"
)

// IP is an address.
type IP = netip.Addr

// ParseIP reads an address.
func ParseIP(s string) (IP, error) { return netip.ParseAddr(s) }

// IPPrefix is a network.
type IPPrefix struct{ netip.Prefix }

// ParseIPPrefix reads a network.
func ParseIPPrefix(s string) (IPPrefix, error) {
	prefix, err := netip.ParsePrefix(s)
	return IPPrefix{prefix}, err
}

// Masked is the network itself, without host bits.
func (p IPPrefix) Masked() IPPrefix { return IPPrefix{p.Prefix.Masked()} }

// IPNet is the network as package net has it.
func (p IPPrefix) IPNet() *net.IPNet {
	return &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}
}

// IPRange is a range of addresses; no topology here has one.
type IPRange struct{}

// ParseIPRange refuses every range.
func ParseIPRange(string) (IPRange, error) {
	return IPRange{}, errors.New("ranges of addresses are not supported in this build")
}
