//! Simulations as their users run them: what is written, what is refused and how it is said.
