//! Manifests written, deleted and garbled on the stage, for all daemons at once; never read from a disk.

use std::sync::Arc;

use evenkeel_manifest::{Service, ServiceKey};
use evenkeel_reconciler::DesiredState;

use super::super::Wish;
use super::super::course::lock;
use super::super::event::{Event, Replica};
use super::Stage;

impl Stage {
    pub(super) fn write(&mut self, wish: &Wish) -> Result<(), String> {
        self.mend_source();
        self.commits += 1;
        let service = self.committed(wish)?;
        self.wishes.insert(wish.name.clone(), wish.clone());
        self.change(&service.key.clone(), Some(&service), |desired| {
            desired.invalid.remove(&service.key);
            desired.services.insert(service.key.clone(), Arc::clone(&service));
        });
        Ok(())
    }

    /// What a manifest says, read from the newest commit.
    fn committed(&self, wish: &Wish) -> Result<Arc<Service>, String> {
        let mut service = wish.service(&self.groups)?;
        service.source.commit = Some(Arc::from(format!("{:040x}", self.commits)));
        Ok(Arc::new(service))
    }

    pub(super) fn write_all(&mut self, wishes: &[Wish]) -> Result<(), String> {
        self.mend_source();
        self.commits += 1;
        let mut services = Vec::with_capacity(wishes.len());
        for wish in wishes {
            services.push(self.committed(wish)?);
            self.wishes.insert(wish.name.clone(), wish.clone());
        }
        {
            let mut course = lock(&self.course);
            course.sync();
            for number in 0..self.replicas {
                for service in &services {
                    let (key, by) = (&service.key, Replica(number));
                    course.tell(&Event::Wanted { by, key, service: Some(service) });
                }
            }
        }
        self.send(|desired| {
            for service in services {
                desired.invalid.remove(&service.key);
                desired.services.insert(service.key.clone(), service);
            }
        });
        Ok(())
    }

    pub(super) fn delete(&mut self, name: &str) -> Result<(), String> {
        self.mend_source();
        let key = self.key(name)?;
        self.wishes.remove(name);
        self.change(&key, None, |desired| {
            desired.services.remove(&key);
            desired.invalid.remove(&key);
        });
        Ok(())
    }

    pub(super) fn garble(&mut self, name: &str) -> Result<(), String> {
        self.mend_source();
        let key = self.key(name)?;
        self.send(|desired| {
            desired.invalid.insert(key.clone(), vec![format!("{name}.yaml:1:1: not a manifest")]);
        });
        let mut course = lock(&self.course);
        for number in 0..self.replicas {
            course.tell(&Event::Invalid { by: Replica(number), key: &key, is: true });
        }
        Ok(())
    }

    fn key(&self, name: &str) -> Result<ServiceKey, String> {
        let wish = self.wish(name).ok_or_else(|| format!("there is no manifest {name}"))?;
        Ok(ServiceKey::new(wish.cluster(), name))
    }

    fn change(
        &self,
        key: &ServiceKey,
        service: Option<&Service>,
        edit: impl FnOnce(&mut DesiredState),
    ) {
        {
            let mut course = lock(&self.course);
            course.sync();
            for number in 0..self.replicas {
                course.tell(&Event::Wanted { by: Replica(number), key, service });
            }
        }
        self.send(edit);
    }

    /// What the daemons are told last.
    pub(super) fn in_force(&self) -> Arc<DesiredState> {
        self.desired.first().map(|daemon| Arc::clone(&daemon.borrow())).unwrap_or_default()
    }

    pub(super) fn send(&self, edit: impl FnOnce(&mut DesiredState)) {
        let mut desired = DesiredState::clone(&self.in_force());
        edit(&mut desired);
        let desired = Arc::new(desired);
        for daemon in &self.desired {
            daemon.send_replace(Arc::clone(&desired));
        }
    }
}
