/** The sentences that users read: whole ones, so that they can be translated. */

import type { IParts } from './countdown';

/** The part of JupyterLab's translation bundle that is needed here. */
export interface ITranslate {
  __(text: string, ...values: any[]): string;
}

/** Return what the status bar shows. */
export function shortLeft(trans: ITranslate, { days, hours, minutes }: IParts): string {
  if (days) {
    return trans.__('%1 d %2 h left', days, hours);
  }
  if (hours) {
    return trans.__('%1 h %2 min left', hours, minutes);
  }
  return minutes ? trans.__('%1 min left', minutes) : trans.__('Less than 1 min left');
}

/** Return the label of the item in the status bar, for screen readers and as a hint. */
export function label(trans: ITranslate, short: string, until: string): string {
  return trans.__('%1. This session ends at %2. Press Enter for more.', short, until);
}

/** Return a warning before the end. */
export function warning(trans: ITranslate, short: string, until: string, reason: string): string {
  return reason
    ? trans.__('This session ends at %1 (%2). Save your work. %3', until, short, reason)
    : trans.__(
        'This session ends at %1 (%2). Save your work: running kernels end with it.',
        until,
        short
      );
}

/** Return what a click on the item in the status bar shows. */
export function details(trans: ITranslate, short: string, until: string, reason: string): string {
  return reason
    ? trans.__('This session ends at %1 (%2). %3', until, short, reason)
    : trans.__('This session ends at %1 (%2).', until, short);
}

/** Return what is shown when the server does not answer. */
export function lost(trans: ITranslate): string {
  return trans.__('Connection to the session lost');
}

/** Return why there is no connection any more. */
export function ended(trans: ITranslate, reason: string): string {
  return reason
    ? trans.__('The connection to this session is lost. %1', reason)
    : trans.__("The connection to this session is lost. The Hub's page says what has happened.");
}
