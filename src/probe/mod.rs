//! Observations of the validator and the cluster. Facts only: what they mean is the engine's to say.

pub mod validator;
