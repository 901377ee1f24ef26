// Package scrypt stands in for the one that restic measures a machine with when it makes a key: half a second of one
// core's work, which each later call of restic's spends again to open the repository. Tests open some thousands, with
// keys that guard nothing. All else in the program is restic's own; those of the image, which tests on a real node
// use, are whole.
package scrypt

import (
	"errors"
	"time"
)

// Params are those of a key's derivation from a password.
type Params struct {
	N, R, P, SaltLen, DKLen int
}

// DefaultParams are the least that restic takes.
var DefaultParams = Params{N: 2, R: 1, P: 1, SaltLen: 16, DKLen: 32}

// Check refuses what cannot be derived with.
func (p *Params) Check() error {
	if p.N < 2 || p.N&(p.N-1) != 0 || p.R < 1 || p.P < 1 || p.SaltLen < 8 || p.DKLen < 16 {
		return errors.New("scrypt: bad parameters")
	}
	return nil
}

// Calibrate measures nothing.
func Calibrate(_ time.Duration, _ int, p Params) (Params, error) {
	return p, p.Check()
}
